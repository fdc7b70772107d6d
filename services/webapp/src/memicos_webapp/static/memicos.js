// Keys, theme, and nothing that a page needs in order to be read.
"use strict";
