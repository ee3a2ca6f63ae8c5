"""One moment of the router: everything that answers may rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.routing.contact import Contact
from collector.routing.expectations import Evidence
from collector.routing.objective_table import RoutingTable
from collector.routing.route_rule import Bools
from collector.settings import RoutingSettings
from linkweather.models.routes import Objective


@dataclass(frozen=True, eq=False, kw_only=True)
class RoutingState:
    """`held` are the links that came back too short a time ago, `online` the sites that may relay."""

    settings: RoutingSettings
    ground: Evidence
    tables: Mapping[Objective, RoutingTable]
    contact: Contact
    held: Bools
    online: Bools
