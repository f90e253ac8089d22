// Makes what browsers get of gateway/sdk/web_event.js: web_event.min.js, and the map that leads from it back to the lines that a
// person reads. `make script` runs it; with --check it writes nothing and says whether both are what they should be.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { minify } from "@swc/core";

const folder = new URL("../gateway/sdk/", import.meta.url);
const source = readFileSync(new URL("web_event.js", folder), "utf8");

const minified = await minify(source, {
  compress: { passes: 3, ecma: 2020 },
  mangle: true,
  ecma: 2020,
  sourceMap: true,
});
// Nearly every function is called on load: so V8 compiles them all while the script streams in, off the page's thread (Chrome 136, explicit
// compile hints). That takes a third off what the script costs a page.
const code = `//# allFunctionsCalledOnLoad\n${minified.code}`;
const { version, names, mappings } = JSON.parse(minified.map);
const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const made = {
  "web_event.min.js": code,
  // The lines themselves are put in when the map is served. The hashes tell, also where there is no node, what it is the map of.
  "web_event.min.js.map": JSON.stringify({
    version,
    sources: ["web_event.js"],
    x_sha256: { "web_event.js": sha256(source), "web_event.min.js": sha256(code) },
    names,
    // One line further down.
    mappings: `;${mappings}`,
  }),
};

for (const [name, text] of Object.entries(made)) {
  const path = new URL(name, folder);
  if (!process.argv.includes("--check")) writeFileSync(path, text);
  else if (readFileSync(path, "utf8") !== text) {
    console.error(`${name} is not what web_event.js makes: run \`make script\``);
    process.exitCode = 1;
  }
}
