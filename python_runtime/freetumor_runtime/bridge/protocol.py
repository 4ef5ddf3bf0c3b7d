"""The protocol version of the control stream and of the feed."""

# of envelopes and of the control stream; both sides refuse another version
PROTOCOL = 1
