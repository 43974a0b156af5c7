"""Money: amounts, tariffs, prices and the double-entry ledger. Knows nothing of channels, alerts or databases."""
