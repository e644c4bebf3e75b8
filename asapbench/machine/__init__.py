"""The machine: its devices, slots, memory, processor, hardware and compilers. Imports no torch."""
