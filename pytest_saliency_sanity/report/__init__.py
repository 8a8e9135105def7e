"""What a verdict looks like. It sees `verdict` for its types alone; a verdict reaches it when it is shown."""
