"""shapes: a made-up world of videos in which coloured shapes do things, for training and judging without downloads.

`world` decides what happens, `render` draws it, `language` and `questions` put it into words, `files` writes the
annotation files, `build` runs all of it, `contact_sheet` shows what a model gets to see.
"""
