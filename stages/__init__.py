"""One script a stage; see dvc.yaml."""
