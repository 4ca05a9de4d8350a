"""Questions of other forms than those distilled."""
