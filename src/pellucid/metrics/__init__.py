"""Methods whose query is a Judgement: how good is an answer?"""
