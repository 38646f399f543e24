"""The version of this package, which is that of the API it speaks."""

VERSION = "0.1.0"
