"""All three roles tuned on the task's corpus."""
