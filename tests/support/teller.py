"""Shell lines for exec handlers that tell their progress."""

TELL = r"""
tell() { printf '%s\n' "$1" 1<>"$MUSTER_EVENTS"; }
progress() {
    tell "{\"progress\":{\"id\":\"$MUSTER_TASK\",\"token\":\"$MUSTER_TOKEN\",\
\"fraction\":$1,\"note\":\"$2\"}}"
}
chunk() {
    tell "{\"chunk\":{\"id\":\"$MUSTER_TASK\",\"token\":\"$MUSTER_TOKEN\",\
\"data\":$1}}"
}
"""


def teller(script, **more):
    """A handler whose script may call progress, chunk and tell."""
    return {"exec": ["/bin/sh", "-c", TELL + script], **more}
