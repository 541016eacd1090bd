"""Where a registry lives: addresses, and the places behind them."""
