"""What both connections must agree on."""

# Wire version of envelopes and of the control stream; both sides refuse another one.
PROTOCOL = 1
