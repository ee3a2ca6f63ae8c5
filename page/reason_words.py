"""Why something failed, waits or is not well: the API's codes and sentences, in words. Pure.

A test holds the codes against the sources of the probes. What is not known here is shown as the API says it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from page.words import SOURCE, Words, message

REASONS: Mapping[str, str] = {
    # why a throughput test takes place
    "first": message("first"),
    "expired": message("the last one is too old"),
    "scheduled": message("scheduled"),
    "latency_shift": message("the latency shifted"),
    "loss": message("loss"),
    "new_path": message("a new path"),
    # what it waits for
    "budget": message("waits for its budget"),
    "leased": message("waits: a site is in another test"),
    "too_soon": message("waits: the last test is too recent"),
    "starting": message("waits: the source is starting"),
    "disabled": message("turned off in the mesh"),
    "offline": message("waits: the destination is offline"),
    "no_broker": message("no connection to the broker"),
    "no_mesh": message("the site has no mesh yet"),
    # why a measurement failed
    "auth": message("the password was refused"),
    "bad_answer": message("the answer is not HTTP"),
    "bad_certificate": message("the certificate is not valid"),
    "bind": message("the local address cannot be used"),
    "busy": message("the server is busy"),
    "cannot_serve": message("the other site cannot serve a test"),
    "closed": message("the server closed the connection"),
    "declined": message("declined"),
    "died": message("the program or its connection ended early"),
    "disturbed": message("another connection got hold of the test's server"),
    "fault": message("a fault of the probe"),
    "forbidden": message("a local firewall forbids it"),
    "garbage": message("the answer makes no sense"),
    "late": message("replies came too late"),
    "method_missing": message("the method is not installed at the site"),
    "missing": message("a program is not installed at the site"),
    "no_answer": message("the other site does not answer the invitation"),
    "no_connection": message("no connection"),
    "no_local_address": message("no local address of this family"),
    "no_privileges": message("the probe may not open raw sockets"),
    "no_reachable_end": message("neither end can be called: both are behind NAT"),
    "no_reply": message("no reply"),
    "overflow": message("our own buffer was full"),
    "port_taken": message("the port is taken"),
    "ports_taken": message("every port for tests is taken"),
    "prober_error": message("a fault of the prober"),
    "protocol": message("an error of iperf3"),
    "refused": message("the connection is refused"),
    "send_failed": message("the packet cannot be sent"),
    "server_error": message("the server answers with an error"),
    "stalled": message("connected, but no data arrived"),
    "throughput_off": message("throughput tests are turned off"),
    "timeout": message("not over in time"),
    "tls_failed": message("TLS failed"),
    "too_long": message("the test would take too long"),
    "too_short": message("the test was too short"),
    "unknown_site": message("the other site is not in the mesh"),
    "unreachable": message("the network is unreachable"),
    "unresolved": message("the name has no address"),
}

_SENTENCES: Mapping[str, str] = {
    r"not measured yet": message("not measured yet"),
    r"answers again, and must do so a while longer": message("answers again, and must do so a while longer"),
    r"no reply": message("no reply"),
    r"the last report is (?P<age>.+) old": message("the last report is {age} old"),
    r"its connection to the broker was lost": message("its connection to the broker was lost"),
    r"it was stopped": message("it was stopped"),
    r"nothing came from it for (?P<age>.+)": message("nothing came from it for {age}"),
    r"(?P<site>\S+) is offline: (?P<why>.+)": message("{site} is offline: {why}"),
}


def reason(code: str, words: Words) -> str:
    """A code in words."""
    return words(REASONS[code]) if code in REASONS else code


def because(sentence: str, words: Words) -> str:
    """A sentence of the API in its language as it is, and in another where its form is known."""
    if words.language == SOURCE:
        return sentence
    for form, said in _SENTENCES.items():
        if found := re.fullmatch(form, sentence):
            parts = found.groupdict()
            if "why" in parts:
                parts["why"] = because(parts["why"], words)
            return words(said, **parts)
    return reason(sentence, words)
