"""What a credential may do: resources, permissions, and where a till's come from (contract §2).

Access is a permission by resource; a resource that it does not name is NONE, and to write is to read
too. None stands for everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from milepost.rules.frozen import dataclass

Permission = Literal["READ", "WRITE"]
Access = Mapping[str, str]

RESOURCES = (
    "Customer", "Card", "Coupon", "Images", "Leads", "OTP", "Organization",
    "Organization Data Fields", "Partner Program", "Partners", "Points", "Product", "Requests",
    "Staff", "Store", "Survey", "Task", "Transaction", "User Groups", "Activity Sessions",
    "User Targets", "Target Loyalty", "Webhooks", "Event Simulation", "Behavioural Events",
    "Companies", "Communications", "Labels",
)  # fmt: skip
"""The vendor's, to which access can be given (domain/promotions-and-platform.md §4.4)."""
PERMISSIONS = ("NONE", "READ", "WRITE")
"""The weakest first."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The places that a credential's access can come from; None: nothing is said there.

    `own` is its group's or what it was given itself; `store` and `default` are those of its store and
    of its organisation, which count only for a till that `inherits`.
    """

    own: Access | None
    inherits: bool = False
    store: Access | None = None
    default: Access | None = None


def effective_access(grants: Grants) -> Access | None:
    """What a credential may do: the nearest place that says something; nowhere: everything."""
    if not grants.inherits:
        return grants.own
    return grants.store if grants.store is not None else grants.default


def may(access: Access | None, resource: str, permission: Permission) -> bool:
    """Whether `access` includes the permission on the resource."""
    return access is None or access.get(resource, "NONE") in ("WRITE", permission)


def exceeds(access: Access | None, other: Access | None) -> bool:
    """Whether `access` allows anything that `other` does not."""
    if other is None:
        return False
    if access is None:
        return any(other.get(resource) != "WRITE" for resource in RESOURCES)
    return any(
        PERMISSIONS.index(permission) > PERMISSIONS.index(other.get(resource, "NONE"))
        for resource, permission in access.items()
    )


def all_named(access: Access) -> dict[str, str]:
    """The access with every resource in it, in the order of `RESOURCES`."""
    return {resource: access.get(resource, "NONE") for resource in RESOURCES}


def unknown_resource(access: Access) -> str | None:
    """A name in `access` that is no resource; None when there is none."""
    return next((resource for resource in access if resource not in RESOURCES), None)
