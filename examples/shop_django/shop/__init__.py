"""A shop on Django and its ORM: it takes orders, has them paid, and does once what follows from that."""
