"""What is computed rather than trained. Importing the package, or what a report needs of it, does not import torch."""
