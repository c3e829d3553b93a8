"""What people write: configuration, policy, establishment register; read strictly, all mistakes at once."""
