"""Look at heads: a student's beside the teacher's."""
