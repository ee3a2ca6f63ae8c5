"""One moment of the router: everything that answers may rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.deciding.contact import Contact
from collector.deciding.costs import RoutingSettings
from collector.deciding.expectations import Ground
from collector.deciding.standing import Bools
from collector.deciding.tables import Table
from linkweather.decisions import Objective


@dataclass(frozen=True, eq=False, kw_only=True)
class Moment:
    """`held` are the links that came back too short a time ago, `online` the sites that may relay."""

    settings: RoutingSettings
    ground: Ground
    tables: Mapping[Objective, Table]
    contact: Contact
    held: Bools
    online: Bools
