"""What is audited: the user's arguments, checked and converted, and what replaces those that are missing."""
