"""Conversions between formats of datasets, and commands for a dataset of any format.

conversion_folder  parts that a killed conversion does not repeat
native             the public layout or SAEDashboard's output to the native format
public             the native format to the public layout
diff               differences of two datasets
inspect            summaries and checks of a dataset
"""
