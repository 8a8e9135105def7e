"""Networks trained on true and on permuted labels."""
