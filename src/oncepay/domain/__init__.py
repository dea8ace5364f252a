"""The ground floor: what a payment is and what may happen to it. Pure: no clock, dice, input or output."""
