-- Replays prepared requests, each with a request_id of its own, and ends so that every request has its answer.
--
-- Arguments: file of requests, seconds of load, 24 hexadecimal digits that tell this run from all others.
-- In the file each request is a line with the byte count of what follows its request_id, and then those bytes.
--
-- After the time is over `request` gives an empty string: wrk then writes nothing and the connection falls idle once its
-- last answer is there. So at the end "sent" and "answered" are equal, unless something was lost.

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } moment_t;
  int clock_gettime(int clock, moment_t *moment);
]]

local moment = ffi.new("moment_t")
local format = string.format
local MONOTONIC = 1
local LOOK_AT_CLOCK_EVERY = 32 -- requests

local function now()
  ffi.C.clock_gettime(MONOTONIC, moment)
  return tonumber(moment.seconds) + tonumber(moment.nanoseconds) / 1e9
end

local tails, count = {}, 0
local start, load_seconds = "", 0
local is_over = false

sent, began, ended = -1, 0, 0

function setup(thread)
  the_thread = thread
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  load_seconds = tonumber(args[2])
  start = file:read("*l") .. args[3]
  for line in function() return file:read("*l") end do
    count = count + 1
    tails[count] = file:read(tonumber(line))
  end
  file:close()
  -- So that rounds don't all begin with the same visitors.
  offset = tonumber(args[3]:sub(-4), 16)
end

function request()
  if is_over then return "" end
  sent = sent + 1
  -- wrk asks for one request before it starts, to look at it; that one is not sent.
  if sent == 1 then began = now() end
  if sent % LOOK_AT_CLOCK_EVERY == 0 and sent > 0 then
    ended = now()
    if ended - began >= load_seconds then
      is_over = true
      sent = sent - 1
      return ""
    end
  end
  return start .. format("%08x", sent) .. tails[(sent + offset) % count + 1]
end

function done(summary, latency, requests)
  local errors = summary.errors
  print(format(
    'RESULT {"sent":%d,"answered":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"max_us":%d,' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}',
    the_thread:get("sent"), summary.requests, the_thread:get("ended") - the_thread:get("began"),
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
