"""What units of deep belief nets and stacked autoencoders look for: data, nets, measures and pictures."""
