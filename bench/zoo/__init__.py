"""What the package ships: the embedded base model, the judge's background, invented people, and how they were made."""
