"""A `config.json` of the Hugging Face format becomes a `ModelSpec`.

`read` is the door. `families` is the table of architectures, by `model_type`: a new one is a row there, made of the
mechanisms in `attention`, `mixers`, `feedforward` and `layers`. `fields` gives typed access to the file,
`quantisation` says how weights are stored, `extras` what a checkpoint has beside the text model.
"""
