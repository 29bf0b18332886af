fetch('https://api.example/items');
var ns = 'http://www.w3.org/2000/svg'; // http://www.example.com/
