"""What must not be shown: the values of secrets, found in files and command lines, and masked wherever they stand.

`names` tells a secret's name, `values` what is no secret whatever its name, `forms` what is one by its looks; `lines`
and `data` find values in text and in parsed data, `masker` puts marks in their place.
"""
