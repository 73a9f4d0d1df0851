"""What `make proto` made of proto/; never edited by hand."""
