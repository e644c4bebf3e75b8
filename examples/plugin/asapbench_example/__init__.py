"""A plug-in of asapbench: a rule, a model and a data set, a module each."""
