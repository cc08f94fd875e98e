"""Simulate strategies on order-book events: conservative fills, a ledger that balances, no flattery."""
