"""What proposes candidates: one file each."""
