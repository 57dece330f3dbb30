"""Making a prior: corpora, options of training, calibration on held-out images, audit, cards."""
