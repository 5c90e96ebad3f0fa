"""What runs: settings become cells, cells run on workers, stage by stage; and cloaks of anybody's photos."""
