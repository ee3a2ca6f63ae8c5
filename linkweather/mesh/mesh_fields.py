"""The types of the settings of sites, links and tests: what each may hold."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from linkweather.plain_text import CONTROL_CHARACTERS

SITE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
# Whose user name or certificate each is: a site of that name would have its rights.
RESERVED_SITES: Mapping[str, str] = {"collector": "the collector", "broker": "the broker"}
MIN_BUDGET_BYTES = 16 * 2**20  # a smaller budget has no room for one useful test
DEFAULT_BUDGET_BYTES = 50 * 10**9  # a day of a site: 5 USD where egress is dear, 0.05 % of 10 Gbit/s
UNLIMITED_BYTES = 10**18  # the largest budget: none
STAMP_PORT = 8620  # RFC 8762's own port, 862, needs privileges

METHOD_NAME = r"^[a-z][a-z0-9-]{0,31}$"
PRINTABLE = rf"^[^{CONTROL_CHARACTERS}]*$"
# Thirty years, and the dearest gigabyte: beyond it a figure is a mistake, and arithmetic on it overflows.
MOST = 1e9

SiteId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Positive = Annotated[float, Field(gt=0, le=MOST)]
# Shorter ones flood the sites that are probed, and the collector with rows.
ProbeInterval = Annotated[float, Field(ge=0.01, le=MOST)]
ReportInterval = Annotated[float, Field(ge=0.1, le=MOST)]
NotNegative = Annotated[float, Field(ge=0, le=MOST)]
Description = Annotated[str, Field(max_length=200, pattern=PRINTABLE)]
Budget = Annotated[int, Field(ge=MIN_BUDGET_BYTES, le=UNLIMITED_BYTES)]
Port = Annotated[int, Field(ge=1, le=65535)]
FilePath = Annotated[Path, Field(strict=False)]  # TOML has no paths, only strings
PathMethod = Literal["udp", "icmp", "tcp"]

_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")
_DOTTED = re.compile(r"[0-9.]+")


def _address(value: str) -> str:
    if ":" in value or _DOTTED.fullmatch(value):
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError("an IPv4 address, an IPv6 address or a host name") from None
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("an IPv4 address, an IPv6 address or a host name")
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError("a prefix such as 192.0.2.0/24 or 2001:db8::/32") from None


def _method(value: str) -> str:
    if not re.fullmatch(METHOD_NAME, value):
        raise ValueError("the name of a prober: 1 to 32 of a–z, 0–9 and -, starting with a letter")
    return value


Address = Annotated[str, AfterValidator(_address)]
# The registered name of a prober. Which names are installed is for `mesh_methods` to say, not for the model.
MethodName = Annotated[str, AfterValidator(_method)]
# A prober's own options of a site, which its own model validates.
OptionText = Annotated[str, Field(max_length=2000, pattern=PRINTABLE)]
MethodOptions = Annotated[dict[OptionText, OptionText | int | float | bool], Field(max_length=32)]
Prefix = Annotated[str, AfterValidator(_network)]
# TOML has arrays, our settings are frozen.
Tuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


class Settings(BaseModel):
    """Frozen settings with typed defaults. Files refuse unknown keys, the wire ignores them."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)
