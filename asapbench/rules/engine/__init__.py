"""How rules are carried out, in torch: graph capture and rewriting, layers, autograd functions, local losses."""
