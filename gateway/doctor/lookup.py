"""Looks at DNS: the whole CNAME chain and every address of a name, through the system's resolver or one of choice.

What always holds: a name that does not answer costs at most one time-out for each kind of record; a chain that leads round in a
circle ends. `/etc/hosts` is not read: visitors don't have it.
"""

from __future__ import annotations

import ipaddress
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import dns.exception
import dns.message
import dns.rdatatype
import dns.resolver

from gateway.doctor.model import Fault, Resolution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.doctor.model import Address

_LOOKS = 3
_MOST_HOPS = 16
_KINDS = ("A", "AAAA")
_RESOLVER = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<plain>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?\Z")


class ResolverUnknown(Exception):
    """The system names no resolver."""

    hint = "name one: --resolver 9.9.9.9"

    def __init__(self, cause: str) -> None:
        super().__init__(f"the system's DNS resolver can't be found: {cause}")
        self.cause = cause


class _Told(NamedTuple):
    """What a resolver told of one name and kind of record, over all looks."""

    chain: tuple[str, ...] = ()
    looks: tuple[frozenset[Address], ...] = ()
    fault: Fault | None = None
    detail: str = ""
    has_answered: bool = True


def read_resolver(text: str) -> tuple[str, int]:
    """Read `9.9.9.9`, `127.0.0.1:5353`, `::1` or `[::1]:53` as an address and a port. Raises `ValueError`, which says what to write."""
    found = _RESOLVER.match(text.strip())
    address, port = (found["v6"] or found["plain"], int(found["port"] or 53)) if found else (text.strip(), 53)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        port = 0
    if not 0 < port < 65_536:
        msg = "write the resolver's address, with a port where it is not 53: 9.9.9.9 or 127.0.0.1:5353"
        raise ValueError(msg)
    return address, port


def look_up(
    names: Sequence[str], resolver: tuple[str, int] | None, timeout_seconds: float
) -> list[Resolution]:
    """Ask for A and AAAA of each name, three times, and give what came, in the order of the names.

    `resolver` is an address and a port; `None` takes the system's (raises `ResolverUnknown` where there is none). The time-out
    is for one question.
    """
    asker = _asker(resolver, timeout_seconds)
    questions = [(name, kind) for name in names for kind in _KINDS]
    with ThreadPoolExecutor(len(questions)) as pool:
        told = dict(zip(questions, pool.map(lambda each: _ask(asker, *each), questions), strict=True))
    return [_joined(name, [told[name, kind] for kind in _KINDS]) for name in names]


def _asker(resolver: tuple[str, int] | None, timeout_seconds: float) -> dns.resolver.Resolver:
    try:
        asker = dns.resolver.Resolver(configure=resolver is None)
    except dns.resolver.NoResolverConfiguration as error:
        raise ResolverUnknown(str(error)) from error
    if resolver is not None:
        address, asker.port = resolver
        asker.nameservers = [address]
    asker.lifetime = timeout_seconds
    asker.timeout = min(2.0, timeout_seconds)
    return asker


def _ask(asker: dns.resolver.Resolver, name: str, kind: str) -> _Told:
    told = _ask_once(asker, name, kind)
    looks = list(told.looks)
    while told.fault is None and len(looks) < _LOOKS:
        again = _ask_once(asker, name, kind)
        if again.fault is not None:
            break
        looks += again.looks
    return told._replace(looks=tuple(looks))


def _ask_once(asker: dns.resolver.Resolver, name: str, kind: str) -> _Told:
    chain: list[str] = []
    try:
        for _ in range(_MOST_HOPS):
            answer = asker.resolve(chain[-1] if chain else name, kind, search=False, raise_on_no_answer=False)
            chain += _cnames(answer.response)
            if len({name, *chain}) <= len(chain):
                break
            found = answer.rrset or ()
            # A server that is no full resolver stops at a CNAME; the rest of the chain is asked for.
            if found or not answer.response.answer:
                addresses = frozenset(ipaddress.ip_address(str(each)) for each in found)
                return _Told(tuple(chain), (addresses,))
    except dns.resolver.NXDOMAIN as error:
        for response in error.kwargs["responses"].values():
            chain += _cnames(response)
        return _Told(tuple(chain), fault=Fault.NO_SUCH_NAME)
    except dns.exception.DNSException as error:
        fault, detail = _silence(error, asker.lifetime)
        return _Told(tuple(chain), fault=fault, detail=detail, has_answered=fault is Fault.LOOP)
    return _Told(tuple(chain), fault=Fault.LOOP)


def _silence(error: dns.exception.DNSException, timeout_seconds: float) -> tuple[Fault, str]:
    if isinstance(error, dns.resolver.LifetimeTimeout):
        return Fault.TIMEOUT, f"no answer within {timeout_seconds:g} s"
    if isinstance(error, dns.resolver.NoNameservers):
        # The text of the error repeats the whole question; what each server said last is enough.
        said = [each[3] for each in error.kwargs.get("errors", ())]
        if any(isinstance(each, dns.message.ChainTooLong) for each in said):
            return Fault.LOOP, ""
        told = ", ".join(sorted({str(each) for each in said}))
        return Fault.REFUSED, f"the resolver said {told}" if told else "the resolver gave no answer"
    return Fault.REFUSED, f"an answer that can't be read: {type(error).__name__}"


def _cnames(response: dns.message.Message) -> list[str]:
    if not isinstance(response, dns.message.QueryMessage):
        return []
    found = response.resolve_chaining().cnames
    return [rrset[0].target.to_text(omit_final_dot=True).lower() for rrset in found]


def _joined(name: str, each_kind: list[_Told]) -> Resolution:
    """Make one of what was told of A and of AAAA: the longer chain, the looks together, the first fault."""
    chain = max((each.chain for each in each_kind), key=len)
    rounds = range(max(len(each.looks) for each in each_kind))
    # A look that one kind did not get to shows what that kind had last, not that its addresses went.
    looks = tuple(
        frozenset().union(*(each.looks[min(index, len(each.looks) - 1)] for each in each_kind if each.looks))
        for index in rounds
    )
    faults = sorted((each for each in each_kind if each.fault), key=lambda each: each.has_answered)
    unanswered = tuple(kind for kind, each in zip(_KINDS, each_kind, strict=True) if not each.has_answered)
    if faults and not unanswered and any(looks):
        # One kind has addresses, and the other was only said not to exist: an odd server, but an answer.
        faults = []
    fault, detail = (faults[0].fault, faults[0].detail) if faults else (None, "")
    if not faults and not any(looks):
        fault = Fault.NO_ADDRESS
    return Resolution(name, chain, looks, fault, detail, unanswered)
