"""What runs: cells on workers, stage by stage; and cloaks of photos that are no benchmark's."""
