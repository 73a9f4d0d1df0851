"""What a guest may ask for, as plain functions: nothing here blocks except through its context, or knows WebAssembly."""
