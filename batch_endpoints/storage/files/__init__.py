"""Where bytes lie: a disk, an object store, the web; one ``Place`` for all of them."""
