"""What a reload did, in words."""

from pilotlight.spec.diff import Changes


def said(c: Changes) -> list[str]:
    """A line each."""
    keys = {name: ", ".join(fields) for name, fields in c.fields.items()}
    return [
        *(f"{name}: added" for name in c.added),
        *(f"{name}: removed" for name in c.removed),
        *(f"{name}: replicas are being replaced ({keys[name]} changed)" for name in c.replaced),
        *(f"{name}: {keys[name]} changed" for name in c.adjusted),
        *(f"{name} changed" for name in c.applied),
        *(f"{name} changed; it takes effect at the next start" for name in c.restart),
    ]
