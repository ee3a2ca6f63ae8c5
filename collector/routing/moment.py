"""One moment of the router: everything that answers may rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.routing.contact import Contact
from collector.routing.expectations import Ground
from collector.routing.objective_table import Table
from collector.routing.route_rule import Bools
from collector.settings import RoutingSettings
from linkweather.models.routes import Objective


@dataclass(frozen=True, eq=False, kw_only=True)
class Moment:
    """`held` are the links that came back too short a time ago, `online` the sites that may relay."""

    settings: RoutingSettings
    ground: Ground
    tables: Mapping[Objective, Table]
    contact: Contact
    held: Bools
    online: Bools
