"""Conversions between formats of datasets, and what is done with a dataset of any format.

work     the folder of a conversion, whose parts a killed one does not repeat
native   the public layout or SAEDashboard's output to the native format
public   the native format to the public layout
diff     differences of two datasets
inspect  summaries and checks of a dataset
"""
