"""A `config.json` of the Hugging Face format becomes a `ModelSpec`.

`read` is the door. `families` is the table of architectures, by `model_type`: a new one is a row there, made of the
mechanisms in `attention`, `mixers`, `feedforward` and `layers`. `fields` gives typed access to the file and records
what is asked for; `unknown` refuses what is neither asked for nor in `harmless.json`; `errors` and `report` say what
is wrong with a field, `lines` where it is. `quantisation` says how weights are stored: `formats` are its methods,
`modules` the matrices, `naming` the lists that name them, `beside` what another file says. `extras` is what a
checkpoint has beside the text model.
"""
