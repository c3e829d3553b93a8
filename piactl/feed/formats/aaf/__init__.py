"""AAF, the national feed of the académies' annuaire (ficAlimMENESR), 2nd degré."""
