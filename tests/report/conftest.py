"""Its place alone counts: pytest finds `made_up` here for the tests of the folders below too."""
