"""What is audited: the user's arguments, checked and put in order, and what stands in for those that are missing."""
