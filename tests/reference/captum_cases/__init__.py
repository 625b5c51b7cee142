"""Captum's own public tests, told again as data: the same question for both libraries, and what each must answer."""
