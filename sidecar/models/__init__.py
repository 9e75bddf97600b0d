"""What is known of models before they are asked: limits, abilities, prices, and when they retire."""
