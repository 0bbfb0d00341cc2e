"""What a job is given: the files that a URI stands for, and how they get onto this machine."""
