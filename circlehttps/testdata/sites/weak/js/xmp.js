'use strict';
var old = 1;
